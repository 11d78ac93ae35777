select instance, position, stream, version, id, type, schema_version, number, data, meta, at
from events where instance = $1 and stream = $2 and position <= $3 order by version
