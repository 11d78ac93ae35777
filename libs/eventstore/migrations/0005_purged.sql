-- Instances whose log may be removed, as a whole: an operator decided so, and the installation's log says it. The rows of all others stay.
create table purged (instance int primary key, at timestamptz not null default clock_timestamp());
create or replace function refuse_change() returns trigger language plpgsql as $$
declare
  goes boolean;
begin
  if tg_op = 'DELETE' then
    execute format('select exists (select from %1$I.purged p join %1$I.closed c on c.instance = p.instance where p.instance = $1)',
      tg_table_schema) into goes using old.instance;
    if goes then
      return old;
    end if;
  end if;
  raise exception 'the log is append-only: % on % refused', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end $$;
