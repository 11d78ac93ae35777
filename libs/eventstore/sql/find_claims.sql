select u.ix::int as ix, l.stream
from unnest($1::int[], $2::text[], $3::text[]) with ordinality u(instance, scope, value, ix)
join lateral (select stream from claims l where l.instance = u.instance and l.scope = u.scope and l.value = u.value limit 1) l on true
