-- a loose index scan: one probe per instance, however long the logs are
with recursive known(instance) as (
  (select instance from events order by instance limit 1)
  union all
  select (select e.instance from events e where e.instance > known.instance order by e.instance limit 1) from known where known.instance is not null)
select instance, (select max(e.position) from events e where e.instance = known.instance) as position
from known where instance is not null
