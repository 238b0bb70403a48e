"""Thin command lines: parse, config, call, one result line."""
