select u.ix::int as ix, k.fingerprint, k.first_position, k.last_position
from unnest($1::int[], $2::uuid[]) with ordinality u(instance, id, ix)
join lateral (select * from commands k where k.instance = u.instance and k.id = u.id limit 1) k on true
