/** All serdes in one import. */
export { bytes } from './bytes.ts'
export { type Change, changed } from './changed.ts'
export { nullable, serde } from './custom.ts'
export { json, type StandardSchema } from './json.ts'
export { double, int, long } from './numbers.ts'
export { string } from './string.ts'
export { uuid } from './uuid.ts'
export { isWindowed, sessionWindowed, type Windowed, type WindowedSerde, windowed } from './windowed.ts'
