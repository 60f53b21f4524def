"""What others may see over HTTP: figures for Prometheus, health for a service manager, a page for people. Read-only."""
