import { Hono } from 'hono'
import * as v from 'valibot'
import { bindRole } from '../app/bind-role.ts'
import { MeshError } from '../model/problem.ts'
import { object } from '../model/resource/object.ts'
import type { ResourceStore, RoleBinding, RoleBindings } from '../ports.ts'
import { parseInput, readJson } from './json-body.ts'

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(255))

export const roleBindingRequestSchema = object({
  kind: v.picklist(['virtual-node', 'virtual-gateway']),
  name,
  /** Such as `arn:aws:iam::111122223333:role/orders-task`. */
  roleArn: v.pipe(v.string(), v.minLength(1), v.maxLength(2048)),
})

export interface RoleBindingOptions {
  readonly store: ResourceStore
  readonly bindings: RoleBindings
}

/** Which AWS role stands for which node or gateway, for proxies that prove themselves by their role. */
export function roleBindingRoutes({ store, bindings }: RoleBindingOptions): Hono {
  const app = new Hono()
  const path = '/v1/meshes/:mesh/role-bindings'
  const bind = bindRole({ store, bindings })
  app.get(path, async (c) => {
    return c.json({ roleBindings: (await bindings.list(c.req.param('mesh'))).map(shown) })
  })
  app.put(path, async (c) => {
    const { kind, name, roleArn } = parseInput(roleBindingRequestSchema, await readJson(c))
    return c.json(shown(await bind({ subject: { kind, mesh: c.req.param('mesh'), name }, roleArn })))
  })
  app.delete(`${path}/:accountId/:roleName`, async (c) => {
    const { mesh, accountId, roleName } = c.req.param()
    const held = await bindings.list(mesh)
    const found = held.find((binding) => binding.accountId === accountId && binding.roleName === roleName)
    if (found === undefined) {
      throw new MeshError('not-found', `no role ${roleName} of account ${accountId} is bound in mesh ${mesh}`)
    }
    await bindings.unbind(found)
    return c.json(shown(found))
  })
  return app
}

function shown({ accountId, roleName, subject }: RoleBinding) {
  return { accountId, roleName, kind: subject.kind, name: subject.name }
}
