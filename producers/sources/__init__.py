"""Where declarations come from: a watched directory; later HTTP and a view of the national database."""
