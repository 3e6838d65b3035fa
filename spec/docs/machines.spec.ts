import { guide } from './snippets.ts'

guide('docs/machines.md', { checks: 2 })
