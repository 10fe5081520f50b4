"""What operators run on both kinds of unit: the `panj` command's frame, status, trace and code lists."""
