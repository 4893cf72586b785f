"""A real Kubernetes on one Linux machine, for development, tests and the demo; standard library only.

`python3 -m crackseg_local up|down|status|load|images` is called by the Makefile; the tests use `controlplane.ControlPlane`.
It knows nothing of the operator or the server: it starts a cluster and puts images into it.
"""
