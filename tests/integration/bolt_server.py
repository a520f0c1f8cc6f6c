"""ArcadeDB, a server that presents itself over Bolt as Neo4j 5.26, in an environment of its own.

python bolt_server.py FOLDER BOLT_PORT HTTP_PORT     # until standard input ends
"""

from __future__ import annotations

import sys

PACKAGE = "arcadedb-embedded==26.10.2.post1"
DATABASE, USER, PASSWORD = "graph", "root", "playwithdata"
READY = "the server is ready"


def main() -> None:
    import arcadedb_embedded

    folder, bolt, http = sys.argv[1:]
    settings = {
        "http_port": int(http),
        "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "bolt_port": int(bolt),
    }
    server = arcadedb_embedded.create_server(folder, root_password=PASSWORD, config=settings)
    server.start()
    server.create_database(DATABASE).close()
    print(READY, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
