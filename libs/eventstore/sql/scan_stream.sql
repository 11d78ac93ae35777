select instance, position, stream, version, id, type, schema_version, number, data, meta, at
from events
where instance = $1 and stream = $2 and version > $3 and position <= $4
order by version limit $5
