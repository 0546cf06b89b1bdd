// Package parquet writes events as an Apache Parquet file
// (https://parquet.apache.org/docs/file-format/), a column for each field, while they
// come: any number of them in bounded memory.
//
// A column has the type of its field: texts and enumerations are strings, whole
// numbers INT64 with or without a sign, others DOUBLE, durations seconds as DOUBLE,
// times nanoseconds since 1970 in UTC, fields that repeat lists, maps maps of strings.
// Each column may be null. The footer, without which no reader opens a file, is written
// by Close alone: a file that was broken off does not pass for a whole one.
package parquet
