CREATE TABLE access_keys (
	id TEXT NOT NULL, 
	account VARCHAR(12) NOT NULL, 
	principal TEXT NOT NULL, 
	secret BLOB NOT NULL, 
	session_token BLOB, 
	expires_at DOUBLE, seal VARCHAR(16) DEFAULT '' NOT NULL, owner TEXT DEFAULT '' NOT NULL, created_at DOUBLE DEFAULT '0' NOT NULL, status TEXT DEFAULT 'Active' NOT NULL, used_at DOUBLE, used_service TEXT, used_region TEXT, state_seal VARCHAR(16) DEFAULT '' NOT NULL, used_seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE accounts (
	id VARCHAR(12) NOT NULL, 
	name TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	closed_at DOUBLE, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE alarms (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	name TEXT NOT NULL, 
	state TEXT NOT NULL, 
	body TEXT NOT NULL, seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, name)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0008');
CREATE TABLE dashboards (
	account VARCHAR(12) NOT NULL, 
	partition TEXT NOT NULL, 
	name TEXT NOT NULL, 
	modified_at DOUBLE NOT NULL, 
	body TEXT NOT NULL, seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, partition, name)
);
CREATE TABLE deployment_events (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	body TEXT NOT NULL, seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, name_key, number), 
	CONSTRAINT deployment_events_of_endpoint FOREIGN KEY(account, region, name_key) REFERENCES endpoints (account, region, name_key) ON DELETE CASCADE
);
CREATE TABLE endpoint_configs (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	arn TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	body TEXT NOT NULL, line_seal VARCHAR(16) DEFAULT '' NOT NULL, body_seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, name_key)
);
CREATE TABLE endpoints (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	arn TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	modified_at DOUBLE NOT NULL, 
	status TEXT NOT NULL, 
	generation TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	deployment TEXT NOT NULL, 
	facts TEXT NOT NULL, line_seal VARCHAR(16) DEFAULT '' NOT NULL, body_seal VARCHAR(16) DEFAULT '' NOT NULL, facts_seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, name_key)
);
CREATE TABLE iam_groups (
	account VARCHAR(12) NOT NULL, 
	name_key TEXT NOT NULL, 
	id TEXT NOT NULL, 
	path TEXT NOT NULL, 
	body TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, name_key)
);
CREATE TABLE iam_oidc_providers (
	account VARCHAR(12) NOT NULL, 
	name_key TEXT NOT NULL, 
	id TEXT NOT NULL, 
	path TEXT NOT NULL, 
	body TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, name_key)
);
CREATE TABLE iam_policies (
	account VARCHAR(12) NOT NULL, 
	name_key TEXT NOT NULL, 
	id TEXT NOT NULL, 
	path TEXT NOT NULL, 
	body TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, name_key)
);
CREATE TABLE iam_roles (
	account VARCHAR(12) NOT NULL, 
	name_key TEXT NOT NULL, 
	id TEXT NOT NULL, 
	path TEXT NOT NULL, 
	body TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, name_key)
);
CREATE TABLE iam_users (
	account VARCHAR(12) NOT NULL, 
	name_key TEXT NOT NULL, 
	id TEXT NOT NULL, 
	path TEXT NOT NULL, 
	body TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, name_key)
);
CREATE TABLE identity (
	number BIGINT NOT NULL, 
	store TEXT NOT NULL, 
	commits BIGINT NOT NULL, 
	definitions TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, epoch BIGINT DEFAULT '0' NOT NULL, holder TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (number)
);
CREATE TABLE log_batches (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	group_name TEXT NOT NULL, 
	stream_name TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	first_at BIGINT NOT NULL, 
	last_at BIGINT NOT NULL, 
	body BLOB NOT NULL, place_seal VARCHAR(16) DEFAULT '' NOT NULL, body_seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, group_name, stream_name, number)
);
CREATE TABLE log_groups (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	name TEXT NOT NULL, 
	body TEXT NOT NULL, seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, name)
);
CREATE TABLE log_streams (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	group_name TEXT NOT NULL, 
	name TEXT NOT NULL, 
	body TEXT NOT NULL, seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, group_name, name)
);
CREATE TABLE models (
	account VARCHAR(12) NOT NULL, 
	region TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	arn TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	body TEXT NOT NULL, line_seal VARCHAR(16) DEFAULT '' NOT NULL, body_seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (account, region, name_key)
);
CREATE TABLE set_aside (
	"table" TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	why TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	"row" TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY ("table", "key")
);
CREATE TABLE sts_sessions (
	id TEXT NOT NULL, 
	account VARCHAR(12) NOT NULL, 
	owner TEXT NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	secret BLOB NOT NULL, 
	token BLOB NOT NULL, 
	body TEXT NOT NULL, 
	seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE tags (
	arn TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, seal VARCHAR(16) DEFAULT '' NOT NULL, 
	PRIMARY KEY (arn, "key")
);
CREATE INDEX models_by_age ON models (account, region, created_at, name_key);
CREATE INDEX endpoint_configs_by_age ON endpoint_configs (account, region, created_at, name_key);
CREATE INDEX endpoints_by_age ON endpoints (account, region, created_at, name_key);
CREATE INDEX log_batches_by_time ON log_batches (account, region, group_name, stream_name, first_at, number);
CREATE UNIQUE INDEX iam_users_by_id ON iam_users (account, id);
CREATE UNIQUE INDEX iam_groups_by_id ON iam_groups (account, id);
CREATE UNIQUE INDEX iam_roles_by_id ON iam_roles (account, id);
CREATE UNIQUE INDEX iam_policies_by_id ON iam_policies (account, id);
CREATE INDEX sts_sessions_by_owner ON sts_sessions (account, owner, expires_at);
CREATE UNIQUE INDEX iam_oidc_providers_by_id ON iam_oidc_providers (account, id);
