"""Declarations taken by HTTP: `service` listens, `application` knows the paths, `reception` takes in, `tokens` says who may."""
