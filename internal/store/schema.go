package store

import "parley/internal/store/sqldb"

// schema is the tables of this package. Its versions are never edited once released; a change is a new entry.
var schema = sqldb.Schema{Table: "schema_versions", Lock: 7305808869232650, Versions: [][]string{
	{
		`CREATE TABLE resources (
			kind       {text} NOT NULL,
			tenant     {text} NOT NULL,
			key        {text} NOT NULL,
			version    BIGINT NOT NULL,
			type       {text} NOT NULL,
			search     {text} NOT NULL,
			body       {text} NOT NULL,
			updated_at BIGINT NOT NULL,
			updated_by {text} NOT NULL,
			PRIMARY KEY (kind, tenant, key))`,
		`CREATE INDEX resources_by_type ON resources (kind, tenant, type, key)`,
		`CREATE INDEX resources_by_search ON resources (kind, tenant, key, search)`,
		`CREATE TABLE refs (
			tenant   {text} NOT NULL,
			kind     {text} NOT NULL,
			key      {text} NOT NULL,
			to_kind  {text} NOT NULL,
			to_key   {text} NOT NULL,
			PRIMARY KEY (tenant, kind, key, to_kind, to_key))`,
		`CREATE INDEX refs_by_target ON refs (tenant, to_kind, to_key, kind, key)`,
		`CREATE TABLE changes (
			seq     BIGINT NOT NULL PRIMARY KEY,
			tenant  {text} NOT NULL,
			kind    {text} NOT NULL,
			key     {text} NOT NULL,
			version BIGINT NOT NULL,
			op      {text} NOT NULL,
			at      BIGINT NOT NULL,
			by_user {text} NOT NULL,
			before  {text},
			after   {text})`,
		`CREATE INDEX changes_by_tenant ON changes (tenant, seq)`,
		`CREATE INDEX changes_by_key ON changes (tenant, kind, key, seq)`,
		`CREATE TABLE counters (
			name  {text} NOT NULL PRIMARY KEY,
			value BIGINT NOT NULL)`,
		`INSERT INTO counters (name, value) VALUES ('change', 0), ('announced', 0)`,
		`CREATE TABLE cluster_secrets (
			name   {text} NOT NULL PRIMARY KEY,
			secret {bytes} NOT NULL,
			at     BIGINT NOT NULL)`,
	},
}}
