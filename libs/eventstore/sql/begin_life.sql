insert into closed as c (instance, at, why, life, behind, lost) values ($1, clock_timestamp(), 'ahead', $2, $3, $4)
on conflict (instance) do update set life = excluded.life, behind = excluded.behind, lost = excluded.lost
