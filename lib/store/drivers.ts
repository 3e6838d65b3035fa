/** The three databases by name. */
import { ConfigError, nearest } from '../errors.ts'
import { memoryDriver } from './memory.ts'
import type { Binding, DatabaseDriver } from './port.ts'
import { classicDriver } from './rocksdb/classic.ts'
import { nativeDriver } from './rocksdb/native.ts'

const DRIVERS: Readonly<Record<Binding, DatabaseDriver>> = {
  'rocksdb-native': nativeDriver,
  rocksdb: classicDriver,
  memory: memoryDriver
}

/**
 * The driver of that name. Its native module is loaded by `load`, or when a database is first opened.
 * @throws ConfigError for an unknown name, with the nearest known one.
 */
export function databaseDriver(name: Binding): DatabaseDriver {
  const driver = Object.hasOwn(DRIVERS, name) ? DRIVERS[name] : undefined
  if (driver) return driver
  const near = nearest(name, Object.keys(DRIVERS))
  throw new ConfigError(
    `There is no store binding "${name}"${near ? `; did you mean "${near}"?` : ''}. Known: ${Object.keys(DRIVERS).join(', ')}.`,
    { details: { binding: name } }
  )
}
