"""What carries the services: settings, logs, the embedded servers, the supervisor and the host every service runs in."""
