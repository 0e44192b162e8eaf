-- Run once, when PostgreSQL makes its first database.
CREATE DATABASE prefect;
