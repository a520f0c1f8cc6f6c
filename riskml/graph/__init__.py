"""Who touched what, from where: accesses as a property graph, in a file or in Neo4j."""
