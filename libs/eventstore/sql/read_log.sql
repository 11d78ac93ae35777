select instance, position, stream, version, id, type, schema_version, number, data, meta, at
from events where instance = $1 and position > $2 order by position limit $3
