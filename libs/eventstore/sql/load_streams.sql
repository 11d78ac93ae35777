select u.ix::int as ix, s.version as head,
  e.position, e.version, e.id, e.type, e.schema_version, e.number, e.data, e.meta, e.at
from unnest($1::int[], $2::text[], $3::bigint[]) with ordinality u(instance, stream, after, ix)
join lateral (select s.version, s.rest from streams s where s.instance = u.instance and s.stream = u.stream limit 1) s on true
left join lateral (
  select * from events e
  where e.instance = u.instance and e.stream = u.stream and e.version > greatest(s.rest, u.after) order by e.version) e on true
order by u.ix, e.version
