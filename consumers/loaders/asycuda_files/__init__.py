"""A follower that writes loaded declarations as SAD XML files into the folder from which ASYCUDA imports."""
