"""Queries as callers write them (fields, filters, sort, limits), compiled to one guarded statement."""
