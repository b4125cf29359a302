"""`python -m sandbox.aws_provider`: the stand-in as a plugin, started by terraform through a filesystem mirror."""

from sandbox.aws_provider.serve import run_plugin

if __name__ == "__main__":
    run_plugin()
