"""Real processes, really killed, frozen and cut off from their database: nothing lost, nothing twice."""
