"""Growth: what one declaration costs against the size of everything around it. Run it with `python -m tests.benchmarks.growth`."""
