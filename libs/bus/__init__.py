"""The bus: subjects, request and reply, live hints, and the relay that copies a log into JetStream. Nothing here holds truth."""
