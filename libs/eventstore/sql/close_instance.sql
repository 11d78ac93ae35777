-- in turn with appends: what was under way is in the log before this returns, what comes later finds the instance closed
with turn as materialized (select pg_advisory_xact_lock(hashtext(current_schema()), $1::int))
insert into closed (instance, at) select $1, clock_timestamp() from turn
on conflict (instance) do update set why = 'closed'
