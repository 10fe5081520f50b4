"""What operators install, and the laboratory in which demo, tests and benchmarks run the real parts on one machine."""
