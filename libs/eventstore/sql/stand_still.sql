insert into closed as c (instance, at, why) values ($1, clock_timestamp(), $2)
on conflict (instance) do update set why = excluded.why where c.why not in ('closed', excluded.why)
