select instance, position, stream, version, id, type, schema_version, number, data, meta, at
from events where instance = $1 and position > $2 and position <= $3 and type = any($4) order by position limit $5
