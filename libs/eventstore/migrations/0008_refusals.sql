-- What was refused, and when. A till that was refused may repeat, so nothing is refused for ever; but an attempt that began before the refusal
-- and was held up somewhere may not do afterwards what its till was told had not been done.
create table refusals (
  instance int not null,
  id uuid not null,
  at timestamptz not null,
  primary key (instance, id)
) with (fillfactor = 80);

-- Whoever appends leaves refusals, from the first moment on: processes of the version before are at work while this is carried out.
do $$
declare
  grantee text;
begin
  for grantee in
    select distinct a.grantee::regrole::text from pg_class c, aclexplode(c.relacl) a
    where c.oid = 'commands'::regclass and a.privilege_type = 'INSERT' and a.grantee <> 0 and a.grantee <> c.relowner
  loop
    execute format('grant select, insert, update, delete on refusals to %s', grantee);
  end loop;
end $$;

-- Refuses commands, unless they are known: those are returned, all others are noted. Under the append's lock, so that an attempt that is
-- appended meanwhile is either seen here or sees this.
create function refuse(c_instance int[], c_id uuid[])
returns table (ix int, fingerprint bytea, first_position bigint, last_position bigint)
language plpgsql volatile
set lock_timeout = '2s' set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  one int;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'refuse needs READ COMMITTED: a snapshot taken before the lock would not see the last command';
  end if;
  for one in select distinct unnest(c_instance) order by 1 loop
    perform pg_advisory_xact_lock(hashtext(current_schema()), one);
  end loop;
  return query
  with c as materialized (
    select u.ix::int as ix, u.instance, u.id, d.fingerprint, d.first_position, d.last_position
    from unnest(c_instance, c_id) with ordinality u(instance, id, ix)
    left join lateral (
      select k.fingerprint, k.first_position, k.last_position from commands k where k.instance = u.instance and k.id = u.id limit 1) d on true),
  noted as (
    insert into refusals as t (instance, id, at)
    select distinct on (c.instance, c.id) c.instance, c.id, clock_timestamp() from c where c.fingerprint is null
    on conflict (instance, id) do update set at = excluded.at)
  select c.ix, c.fingerprint, c.first_position, c.last_position from c where c.fingerprint is not null;
end $$;

-- The append as before (0007_numbers.sql), which turns away ('r') what was refused while the attempt was under way. `c_began`: when each
-- attempt began, in seconds since the epoch by this server's clock. Refusals of the future, since that clock was set back, turn nothing away: else a
-- key could not be used for hours. A claim that is held ('t') is a refusal too, and noted here.
create function append(
  c_instance int[], c_id uuid[], c_fingerprint bytea[], c_began double precision[],
  w_command int[], w_stream text[], w_expected bigint[], w_events int[], w_rest bool[],
  e_write int[], e_offset int[], e_id uuid[], e_type text[], e_schema smallint[], e_series text[], e_data bytea[], e_meta bytea[],
  k_command int[], k_scope text[], k_value text[], k_stream text[], k_take bool[])
returns table (ix int, outcome "char", first_position bigint, last_position bigint, numbers bigint[], at timestamptz, waited double precision)
language plpgsql volatile
set lock_timeout = '2s' set enable_seqscan = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  one int;
  begun timestamptz := clock_timestamp();
  moment timestamptz;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'append needs READ COMMITTED: a snapshot taken before the lock would not see the last position';
  end if;
  for one in select distinct unnest(c_instance) order by 1 loop
    perform pg_advisory_xact_lock(hashtext(current_schema()), one);
  end loop;
  moment := clock_timestamp();
  return query
  with head as materialized (
    select i.instance, coalesce(e.position, 0) as position, greatest(moment, e.at) as at, d.digest, x.instance is not null as closed
    from (select distinct unnest(c_instance) as instance) i
    left join lateral (select e.position, e.at from events e where e.instance = i.instance order by e.position desc limit 1) e on true
    left join lateral (select m.digest from commits m where m.instance = i.instance order by m.last_position desc limit 1) d on true
    left join lateral (select z.instance from closed z where z.instance = i.instance limit 1) x on true),
  c as materialized (
    select u.ix::int as ix, u.instance, u.id, u.fingerprint, d.fingerprint as known, d.first_position, d.last_position,
      r.at between to_timestamp(u.began) and moment as outlived
    from unnest(c_instance, c_id, c_fingerprint, c_began) with ordinality u(instance, id, fingerprint, began, ix)
    left join lateral (
      select k.fingerprint, k.first_position, k.last_position from commands k where k.instance = u.instance and k.id = u.id limit 1) d on true
    left join lateral (select f.at from refusals f where f.instance = u.instance and f.id = u.id limit 1) r on true),
  w as materialized (
    select u.wix::int as wix, u.ix, c.instance, u.stream, u.expected, u.n, u.rest, coalesce(s.version, 0) as current
    from unnest(w_command, w_stream, w_expected, w_events, w_rest) with ordinality u(ix, stream, expected, n, rest, wix)
    join c on c.ix = u.ix
    left join lateral (select s.version from streams s where s.instance = c.instance and s.stream = u.stream limit 1) s on true),
  k as materialized (
    select u.ix, c.instance, u.scope, u.value, u.stream, u.take, h.stream as holder
    from unnest(k_command, k_scope, k_value, k_stream, k_take) u(ix, scope, value, stream, take)
    join c on c.ix = u.ix
    left join lateral (
      select l.stream from claims l where l.instance = c.instance and l.scope = u.scope and l.value = u.value limit 1) h on true),
  moved as materialized (select w.ix, bool_or(w.expected <> w.current) as moved, sum(w.n)::int as n from w group by w.ix),
  taken as materialized (
    select k.ix, bool_or(k.take and k.holder is not null or not k.take and k.holder is distinct from k.stream) as taken from k group by k.ix),
  judged as materialized (
    select c.ix, c.instance, c.id, c.fingerprint, c.first_position, c.last_position, coalesce(m.n, 0) as n, h.position as head, h.at,
      (case when c.known = c.fingerprint then 'd' when c.known is not null then 'm' when h.closed then 'c'
            when c.outlived then 'r' when m.moved then 'x' when t.taken then 't' else 'a' end)::"char" as outcome
    from c join head h on h.instance = c.instance left join moved m on m.ix = c.ix left join taken t on t.ix = c.ix),
  granted as materialized (
    select j.ix, j.instance, j.id, j.fingerprint, j.n, j.at, j.head + sum(j.n) over (partition by j.instance order by j.ix) as last
    from judged j where j.outcome = 'a'),
  placed as materialized (
    select w.wix, w.ix, w.instance, w.stream, w.n, w.rest, w.current, g.at,
      g.last - g.n + coalesce(sum(w.n) over (partition by w.ix order by w.wix rows between unbounded preceding and 1 preceding), 0) as base
    from w join granted g on g.ix = w.ix),
  drafted as materialized (
    select p.instance, (p.base + u.o)::bigint as position, p.ix, p.stream, p.current + u.o as version, p.at,
      u.id, u.type, u.schema_version, u.series, u.data, u.meta
    from unnest(e_write, e_offset, e_id, e_type, e_schema, e_series, e_data, e_meta) u(wix, o, id, type, schema_version, series, data, meta)
    join placed p on p.wix = u.wix),
  reached as materialized (
    select distinct d.instance, d.series from drafted d where d.series is not null),
  numbered as materialized (
    select d.*, case when d.series is not null then
      coalesce(s.last, 0) + row_number() over (partition by d.instance, d.series order by d.position) end as number
    from drafted d left join (
      select r.instance, r.series, l.last from reached r
      left join lateral (select s.last from series s where s.instance = r.instance and s.series = r.series limit 1) l on true
    ) s on s.instance = d.instance and s.series = d.series),
  whole as materialized (
    select d.*, sha256(
        int8send(d.position) || int4send(octet_length(d.stream)) || convert_to(d.stream, 'UTF8') || int8send(d.version) || uuid_send(d.id)
        || int4send(octet_length(d.type)) || convert_to(d.type, 'UTF8') || int2send(d.schema_version)
        || int4send(octet_length(coalesce(d.series, ''))) || convert_to(coalesce(d.series, ''), 'UTF8') || int8send(coalesce(d.number, 0))
        || int8send((extract(epoch from d.at) * 1000000)::bigint)
        || int4send(octet_length(d.data)) || d.data || int4send(octet_length(d.meta)) || d.meta) as leaf
    from numbered d),
  put_streams as (
    insert into streams as t (instance, stream, version, rest)
    select p.instance, p.stream, p.current + p.n, case when p.rest then p.current + p.n else 0 end from placed p where p.n > 0
    on conflict (instance, stream) do update
      set version = excluded.version, rest = case when excluded.rest > 0 then excluded.rest else t.rest end),
  put_events as (
    insert into events (instance, position, stream, version, id, type, schema_version, series, number, data, meta, at, leaf)
    select f.instance, f.position, f.stream, f.version, f.id, f.type, f.schema_version, f.series, f.number, f.data, f.meta, f.at, f.leaf
    from whole f),
  put_commands as (
    insert into commands (instance, id, fingerprint, first_position, last_position, at)
    select g.instance, g.id, g.fingerprint, g.last - g.n + 1, g.last, g.at from granted g),
  put_refusals as (
    insert into refusals as t (instance, id, at) select j.instance, j.id, clock_timestamp() from judged j where j.outcome = 't'
    on conflict (instance, id) do update set at = excluded.at),
  put_series as (
    insert into series as t (instance, series, last) select n.instance, n.series, max(n.number) from numbered n where n.series is not null group by 1, 2
    on conflict (instance, series) do update set last = excluded.last),
  put_claims as (
    insert into claims (instance, scope, value, stream)
    select k.instance, k.scope, k.value, k.stream from k join granted g on g.ix = k.ix where k.take),
  drop_claims as (
    delete from claims l using k join granted g on g.ix = k.ix
    where not k.take and l.instance = k.instance and l.scope = k.scope and l.value = k.value),
  put_commits as (
    insert into commits (instance, first_position, last_position, digest)
    select f.instance, min(f.position), max(f.position),
      sha256(coalesce(h.digest, ''::bytea) || string_agg(f.leaf, ''::bytea order by f.position))
    from whole f join head h on h.instance = f.instance group by f.instance, h.digest)
  select j.ix, j.outcome,
    case when j.outcome = 'a' then g.last - g.n + 1 else j.first_position end,
    case when j.outcome = 'a' then g.last::bigint else j.last_position end,
    d.numbers, j.at,
    extract(epoch from moment - begun)::double precision
  from judged j
  left join granted g on g.ix = j.ix
  left join (select n.ix, array_agg(n.number order by n.position) as numbers from numbered n where n.series is not null group by n.ix) d
    on d.ix = j.ix;
end $$;

-- As processes of the version before call it: they do not say when their attempts began.
create or replace function append(
  c_instance int[], c_id uuid[], c_fingerprint bytea[],
  w_command int[], w_stream text[], w_expected bigint[], w_events int[], w_rest bool[],
  e_write int[], e_offset int[], e_id uuid[], e_type text[], e_schema smallint[], e_series text[], e_data bytea[], e_meta bytea[],
  k_command int[], k_scope text[], k_value text[], k_stream text[], k_take bool[])
returns table (ix int, outcome "char", first_position bigint, last_position bigint, numbers bigint[], at timestamptz, waited double precision)
language plpgsql volatile
as $$
begin
  return query select * from append(
    c_instance, c_id, c_fingerprint, null::double precision[], w_command, w_stream, w_expected, w_events, w_rest,
    e_write, e_offset, e_id, e_type, e_schema, e_series, e_data, e_meta, k_command, k_scope, k_value, k_stream, k_take);
end $$;
