"""A supervisor with the services named on the command line, as JSON."""

from __future__ import annotations

import json
import logging
import sys

from calibrant.cli.supervisor import Service, Supervisor

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    services = [Service(name, command) for name, command in json.loads(sys.argv[1]).items()]
    sys.exit(Supervisor(services, patience=float(sys.argv[2])).run())
