"""The steps, oldest first. A step, once released, is never changed: a mistake gets a step of its own."""
