/** `npm run conformance`: works on a fresh clone, where nothing is installed yet. */
import { spawn } from 'node:child_process'
import { ensureInstalled, root } from './install.mjs'

ensureInstalled()
const child = spawn(
  process.execPath,
  ['--import', import.meta.resolve('tsx'), `${root}spec/conformance/main.ts`, ...process.argv.slice(2)],
  {
    stdio: 'inherit'
  }
)
// Ctrl-C reaches the child by the terminal's process group; this parent only has to stay for its exit status.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)))
