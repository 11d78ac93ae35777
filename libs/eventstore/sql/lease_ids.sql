insert into leases as l (instance, name, last) values ($1, $2, $3)
on conflict (instance, name) do update set last = l.last + $3
returning last
