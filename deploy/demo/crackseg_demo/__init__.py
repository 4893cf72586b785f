"""The demo: one YAML to a served model, a rollout under load, and a rollback, on a real cluster.

`make demo` runs `python -m crackseg_demo`. The end-to-end tests use its parts (cluster, store, load, follow), so what a
person sees is what is tested. It knows the operator and the server only from outside: YAML, kubectl, helm and HTTP.
"""
