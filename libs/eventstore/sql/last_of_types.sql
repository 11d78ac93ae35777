select instance, position, stream, version, id, type, schema_version, number, data, meta, at
from events where instance = $1 and type = any($2) order by position desc limit 1
