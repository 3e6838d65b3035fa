/** A whole runtime on the embedded log. */
import type { Engine } from './engine.ts'
export const embeddedEngine = (): Engine => {
  throw new Error('not yet')
}
