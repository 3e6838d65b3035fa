/** `npm run demo`: works on a fresh clone, where nothing is installed yet. */
import { spawn } from 'node:child_process'
import { ensureInstalled, root } from '../../scripts/install.mjs'

ensureInstalled()
const child = spawn(process.execPath, ['--import', 'tsx', 'examples/flights/main.ts', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit'
})
// Ctrl-C reaches the child by the terminal's process group; this parent only has to stay for its exit status.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)))
