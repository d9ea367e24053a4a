"""Operators' actions and queries, for commands, HTTP and library alike: functions `(connection, context, now, …)`.

Operations return structs (`views.builtins` makes JSON of them), and raise the errors of `errors.py`. `context.Access`
runs them.
"""
