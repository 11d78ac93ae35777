-- One service's log. The schema is named after the service and comes from the connection's search_path.
create table events (
  instance int not null,
  position bigint not null,
  stream text not null,
  version bigint not null,
  id uuid not null,
  type text not null,
  schema_version smallint not null,
  series text,
  number bigint,
  data bytea not null,
  meta bytea not null,
  at timestamptz not null,
  leaf bytea not null,
  primary key (instance, position)
);
create unique index events_by_stream on events (instance, stream, version);
create unique index events_by_number on events (instance, series, number) where series is not null;

-- `rest`: the version at which the stream's state last was as if new; loading starts behind it
create table streams (
  instance int not null,
  stream text not null,
  version bigint not null,
  rest bigint not null default 0,
  primary key (instance, stream)
) with (fillfactor = 80);

-- last = first - 1 for a command that changed nothing
create table commands (
  instance int not null,
  id uuid not null,
  fingerprint bytea not null,
  first_position bigint not null,
  last_position bigint not null,
  at timestamptz not null,
  primary key (instance, id)
);
create index commands_by_age on commands using brin (at);

create table claims (
  instance int not null,
  scope text not null,
  value text not null,
  stream text not null,
  primary key (instance, scope, value)
);

create table series (
  instance int not null,
  series text not null,
  last bigint not null,
  primary key (instance, series)
) with (fillfactor = 50);

create table commits (
  instance int not null,
  first_position bigint not null,
  last_position bigint not null,
  digest bytea not null,
  primary key (instance, last_position)
);

-- instances that take no more events (their successor carries another id)
create table closed (instance int primary key, at timestamptz not null);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the log is append-only: % on % refused', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger events_are_final before update or delete on events for each row execute function refuse_change();
create trigger events_stay before truncate on events for each statement execute function refuse_change();
create trigger commits_are_final before update or delete on commits for each row execute function refuse_change();
create trigger commits_stay before truncate on commits for each statement execute function refuse_change();
