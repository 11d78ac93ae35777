-- the same stream of every instance: one probe each, however long the logs are
with recursive known(instance) as (
  (select instance from events order by instance limit 1)
  union all
  select (select e.instance from events e where e.instance > known.instance order by e.instance limit 1) from known where known.instance is not null)
select e.instance, e.position, e.stream, e.version, e.id, e.type, e.schema_version, e.number, e.data, e.meta, e.at
from known join lateral (
  select * from events e where e.instance = known.instance and e.stream = $1 order by e.version) e on true
where known.instance is not null
