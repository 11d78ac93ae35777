-- the caller bounds the positions, so a rare type or word costs no more than that window
select instance, position, stream, version, id, type, schema_version, number, data, meta, at
from events
where instance = $1 and position > $2 and position <= $3
  and (cardinality($4::text[]) = 0 or type = any($4)) and (octet_length($5::bytea) = 0 or position($5 in data) > 0)
order by position limit $6
