// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are what the formats write, not templates of ours
import { describe, expect, it } from 'vitest'
import { asked, importText, problemsOf } from './imported.ts'

const NODE = {
  name: 'orders',
  mesh_name: '${aws_appmesh_mesh.main.id}',
  spec: {
    backend: { virtual_service: { virtual_service_name: 'cart.${var.domain}' } },
    listener: [
      {
        port_mapping: { port: 8080, protocol: 'http' },
        health_check: [
          {
            protocol: 'http',
            path: '/ping',
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            timeout_millis: 2000,
            interval_millis: 5000,
          },
        ],
        timeout: [{ http: [{ per_request: [{ unit: 's', value: 3 }] }] }],
      },
    ],
    service_discovery: {
      aws_cloud_map: {
        attributes: { stack: '${local.color}' },
        namespace_name: '${aws_service_discovery_private_dns_namespace.main.name}',
        service_name: '$${kept}',
      },
    },
  },
}

const CONFIGURATION = {
  variable: { domain: {}, named: { default: 'shop' } },
  locals: { color: '${local.shade}-blue', shade: 'dark' },
  resource: {
    aws_appmesh_mesh: { main: { name: '${var.named}' } },
    aws_appmesh_virtual_node: { orders: NODE },
    aws_appmesh_route: {
      all: {
        name: 'all',
        mesh_name: 'shop',
        virtual_router_name: 'orders',
        spec: {
          http_route: {
            match: { prefix: '/', header: [{ name: 'x', match: { exact: 'y' } }] },
            action: { weighted_target: [{ virtual_node: 'orders', weight: 100 }] },
            retry_policy: {
              http_retry_events: ['server-error'],
              max_retries: 1,
              per_retry_timeout: { unit: 's', value: 15 },
            },
          },
        },
      },
    },
    aws_service_discovery_private_dns_namespace: { main: { name: 'shop.local' } },
  },
}

describe('Terraform', () => {
  it('reads a .tf.json file: references, variables, locals, blocks as lists or objects', () => {
    const { resources, problems } = importText(JSON.stringify(CONFIGURATION), { domain: 'example' })
    expect(problems).toEqual([])
    expect(resources.map(({ ref, spec }) => [ref.kind, ref.mesh, ref.name, spec])).toEqual([
      ['mesh', 'shop', 'shop', {}],
      [
        'virtual-node',
        'shop',
        'orders',
        {
          backends: [{ virtualService: { virtualServiceName: 'cart.example' } }],
          listeners: [
            {
              portMapping: { port: 8080, protocol: 'http' },
              healthCheck: {
                protocol: 'http',
                path: '/ping',
                healthyThreshold: 2,
                unhealthyThreshold: 2,
                timeoutMillis: 2000,
                intervalMillis: 5000,
              },
              timeout: { http: { perRequest: { unit: 's', value: 3 } } },
            },
          ],
          serviceDiscovery: {
            awsCloudMap: {
              attributes: [{ key: 'stack', value: 'dark-blue' }],
              namespaceName: 'shop.local',
              serviceName: '${kept}',
            },
          },
        },
      ],
      [
        'route',
        'shop',
        'all',
        {
          httpRoute: {
            match: { prefix: '/', headers: [{ name: 'x', match: { exact: 'y' } }] },
            action: { weightedTargets: [{ virtualNode: 'orders', weight: 100 }] },
            retryPolicy: {
              httpRetryEvents: ['server-error'],
              maxRetries: 1,
              perRetryTimeout: { unit: 's', value: 15 },
            },
          },
        },
      ],
    ])
  })

  it('asks for what only Terraform can work out', () => {
    const resource = { aws_appmesh_mesh: { m: { name: '${data.x.y.z}-${lower("A")}-${var.open}' } } }
    const text = JSON.stringify({ resource })
    expect(asked(importText(text))).toEqual(['data.x.y.z', 'lower("A")', 'open'])
    const given = { 'data.x.y.z': '1', 'lower("A")': 'a', open: '2' }
    expect(importText(text, given).resources).toMatchObject([{ ref: { name: '1-a-2' } }])
    const name = (written: string) => JSON.stringify({ resource: { aws_appmesh_mesh: { m: { name: written } } } })
    expect(asked(importText(name('a-${lookup({ a = "b" }, "a")}-b')))).toEqual(['lookup({ a = "b" }, "a")'])
    expect(problemsOf(importText(name('%{ if true }a%{ endif }')))).toEqual([
      expect.stringMatching(/holds a directive.*terraform show -json/),
    ])
  })

  it('reads every element where blocks are lists', () => {
    const mesh = { aws_appmesh_mesh: { m: [{ name: 'shop' }] } }
    const nodes = {
      aws_appmesh_virtual_node: [
        { a: { name: '${local.first}', mesh_name: 'shop', spec: {} } },
        { b: { name: '${local.second}-${var.third}', mesh_name: 'shop', spec: {} } },
      ],
    }
    const text = JSON.stringify({
      locals: [{ first: 'a' }, { second: 'b' }],
      variable: [{ other: {} }, { third: [{ default: 'c' }] }],
      resource: [mesh, nodes],
    })
    const imported = importText(text)
    expect(problemsOf(imported)).toEqual([])
    expect(imported.resources.map(({ ref }) => ref.name)).toEqual(['shop', 'a', 'b-c'])
    const twice = { resource: { aws_appmesh_mesh: { m: [{ name: 'shop' }, { name: 'shop' }] } } }
    expect(problemsOf(importText(JSON.stringify(twice))).join()).toContain('stands at in.yaml:1 already')
  })

  it('names the modules that it does not read', () => {
    const module = { mesh: { source: './mesh', name: 'x' }, net: [{ source: './net' }] }
    const beside = importText(JSON.stringify({ resource: { aws_appmesh_mesh: { m: { name: 'shop' } } }, module }))
    expect(problemsOf(beside)).toEqual([])
    const message = expect.stringMatching(/module.*not read.*terraform show -json/)
    expect(beside.warnings).toMatchObject([
      { path: 'module.mesh', message },
      { path: 'module.net', message },
    ])
    const alone = importText(JSON.stringify({ module }))
    expect(problemsOf(alone)).toEqual([])
    expect(alone.warnings).toMatchObject([{ message }, { message }, { message: 'holds no App Mesh resource' }])
  })

  it('follows attributes and indexes of variables and locals, and asks for what they lead to', () => {
    const node = {
      name: '${var.cfg.name}',
      mesh_name: 'shop',
      spec: {
        listener: { port_mapping: { port: '${var.cfg["ports"][1]}', protocol: '${local.all.protocols[0]}' } },
        backend_defaults: {
          client_policy: {
            tls: {
              ports: '${var.cfg.ports}',
              validation: { trust: { file: { certificate_chain: '${local.chain}' } } },
            },
          },
        },
      },
    }
    const parts = {
      variable: { cfg: { default: { name: 'orders', ports: [80, 8080] } } },
      locals: { all: { protocols: ['http'] }, chain: '${local.directory}/ca.pem', directory: '/keys' },
      resource: { aws_appmesh_virtual_node: { a: node } },
    }
    const imported = importText(JSON.stringify(parts))
    expect(problemsOf(imported)).toEqual([])
    expect(imported.resources).toMatchObject([
      {
        ref: { name: 'orders' },
        spec: {
          listeners: [{ portMapping: { port: 8080, protocol: 'http' } }],
          backendDefaults: {
            clientPolicy: {
              tls: { ports: [80, 8080], validation: { trust: { file: { certificateChain: '/keys/ca.pem' } } } },
            },
          },
        },
      },
    ])
    const open = JSON.stringify({ ...parts, variable: { cfg: {} } })
    const names = ['var.cfg["ports"][1]', 'var.cfg.ports', 'var.cfg.name']
    expect(asked(importText(open))).toEqual(names)
    expect(asked(importText(open, { cfg: '8080' }))).toEqual(names)
    expect(asked(importText(open, { 'var.cfg.name': 'n' }))).toEqual(names.slice(0, 2))
  })

  it('names references that lead to themselves, and resources that are repeated', () => {
    const circle = {
      locals: { a: '${local.b}', b: '${local.a}' },
      resource: { aws_appmesh_mesh: { m: { name: '${local.a}' } } },
    }
    expect(problemsOf(importText(JSON.stringify(circle))).join()).toContain('(to itself?)')
    const repeated = { resource: { aws_appmesh_mesh: { m: { for_each: '${var.all}', name: '${each.key}' } } } }
    expect(problemsOf(importText(JSON.stringify(repeated))).join()).toContain('terraform show -json')
  })

  it('reads what terraform show prints, in modules too, without what nobody set', () => {
    const gatewayRoute = {
      address: 'module.x.aws_appmesh_gateway_route.g',
      mode: 'managed',
      type: 'aws_appmesh_gateway_route',
      values: {
        name: 'g',
        mesh_name: 'shop',
        mesh_owner: '1',
        resource_owner: '1',
        virtual_gateway_name: 'edge',
        tags: null,
        spec: [
          {
            priority: 0,
            grpc_route: [],
            http_route: [
              {
                action: [{ target: [{ port: 0, virtual_service: [{ virtual_service_name: 's' }] }], rewrite: [] }],
                match: [{ hostname: [], path: [], port: null, prefix: '/' }],
              },
            ],
          },
        ],
      },
    }
    const other = { ...gatewayRoute, mode: 'data' }
    const shown = {
      format_version: '1.0',
      values: { root_module: { resources: [other], child_modules: [{ resources: [gatewayRoute] }] } },
    }
    const imported = importText(JSON.stringify(shown))
    expect(problemsOf(imported)).toEqual([])
    expect(imported.resources).toMatchObject([{ ref: { kind: 'gateway-route', name: 'g', parent: 'edge' } }])
    expect(imported.resources[0]!.spec).toEqual({
      httpRoute: { action: { target: { virtualService: { virtualServiceName: 's' } } }, match: { prefix: '/' } },
    })
    expect(imported.warnings).toEqual([])
  })

  it('asks for what a plan does not know yet, by resource and attribute', () => {
    const address = 'module.x.aws_appmesh_route.all'
    const action = [{ weighted_target: [{ virtual_node: 'n', weight: 1 }] }]
    const values = { name: 'all', virtual_router_name: 'r', spec: [{ http_route: [{ match: [{}], action }] }] }
    const unknown = { id: true, mesh_name: true, spec: [{ http_route: [{ match: [{ prefix: true }] }] }] }
    const node = 'aws_appmesh_virtual_node.n'
    const health = {
      protocol: 'tcp',
      healthy_threshold: 2,
      unhealthy_threshold: 2,
      timeout_millis: 2000,
      interval_millis: 5000,
    }
    const listener = [
      { port_mapping: [{ port: 80, protocol: 'tcp' }], health_check: [health], tls: [{ mode: 'STRICT' }] },
    ]
    const open = { health_check: [{ port: true }], tls: [{ certificate: [{ acm: [{ certificate_arn: true }] }] }] }
    const shown = {
      format_version: '1.2',
      planned_values: {
        root_module: {
          resources: [
            { address: 'aws_appmesh_mesh.m', type: 'aws_appmesh_mesh', values: { name: 'shop' } },
            {
              address: node,
              type: 'aws_appmesh_virtual_node',
              values: { name: 'n', mesh_name: 'shop', spec: [{ listener }] },
            },
          ],
          child_modules: [{ resources: [{ address, type: 'aws_appmesh_route', values }] }],
        },
      },
      resource_changes: [
        { address, change: { after_unknown: unknown } },
        { address: node, change: { after_unknown: { spec: [{ listener: [open] }] } } },
      ],
    }
    const text = JSON.stringify(shown)
    const prefix = `${address}.spec[0].http_route[0].match[0].prefix`
    const arn = `${node}.spec[0].listener[0].tls[0].certificate[0].acm[0].certificate_arn`
    expect(problemsOf(importText(text))).toEqual([])
    expect(asked(importText(text))).toEqual([arn, prefix])
    const { problems, needs, resources } = importText(text, {
      [prefix]: '/a',
      [arn]: 'arn:aws:acm:eu-west-1:1:certificate/x',
    })
    expect({ problems, needs }).toEqual({ problems: [], needs: [] })
    expect(resources).toMatchObject([
      { ref: { kind: 'mesh' } },
      { spec: { listeners: [{ tls: { certificate: { acm: { certificateArn: expect.stringMatching(/x$/) } } } }] } },
      { ref: { mesh: 'shop' }, spec: { httpRoute: { match: { prefix: '/a' } } } },
    ])
  })

  it('takes what the provider sends: no priority 0, an empty match of gRPC, attributes of whatever name', () => {
    const route = (grpc: object) => ({
      name: 'g',
      mesh_name: 'shop',
      virtual_router_name: 'r',
      spec: { priority: 0, grpc_route: { action: { weighted_target: { virtual_node: 'n', weight: 1 } }, ...grpc } },
    })
    const attributes = { key: 'k', value: 'v' }
    const node = {
      name: 'n',
      mesh_name: 'shop',
      spec: {
        service_discovery: { aws_cloud_map: { namespace_name: 'a', service_name: 'b', attributes } },
        logging: { access_log: { file: { path: '/dev/stdout', format: { json: { key: 'k', value: 'v' } } } } },
      },
    }
    const resource = {
      aws_appmesh_route: { a: route({}), b: { ...route({ match: [] }), name: 'h' } },
      aws_appmesh_virtual_node: { n: node },
    }
    const imported = importText(JSON.stringify({ resource }))
    expect(problemsOf(imported)).toEqual([])
    const grpcRoute = { match: {}, action: { weightedTargets: [{ virtualNode: 'n', weight: 1 }] } }
    expect(imported.resources.map(({ spec }) => spec)).toEqual([
      {
        serviceDiscovery: {
          awsCloudMap: {
            namespaceName: 'a',
            serviceName: 'b',
            attributes: [
              { key: 'key', value: 'k' },
              { key: 'value', value: 'v' },
            ],
          },
        },
        logging: { accessLog: { file: { path: '/dev/stdout', format: { json: [{ key: 'k', value: 'v' }] } } } },
      },
      { grpcRoute },
      { grpcRoute },
    ])
  })

  it('warns of a mesh of another account, and names dynamic blocks at any depth', () => {
    const m = { name: 'm', mesh_owner: '1' }
    const values = { name: 'n', mesh_name: 'm', mesh_owner: '2', resource_owner: '2', spec: [{}] }
    const node = { type: 'aws_appmesh_virtual_node', values }
    const foreign = { type: 'aws_appmesh_virtual_node', values: { ...values, name: 'f', mesh_owner: '1' } }
    const text = JSON.stringify({ format_version: '1.0', values: { root_module: { resources: [node, foreign] } } })
    const message = expect.stringMatching(/^is not carried over.*another account/)
    expect(importText(text).warnings).toMatchObject([
      { path: expect.stringMatching(/resources\[1\].*mesh_owner$/), message },
    ])
    const written = importText(JSON.stringify({ resource: { aws_appmesh_mesh: { m } } }))
    expect(written.warnings).toMatchObject([{ message }])
    const spec = { listener: [{ dynamic: { tls: { for_each: '${var.x}' } } }] }
    const dynamic = { resource: { aws_appmesh_virtual_node: { n: { name: 'n', mesh_name: 'm', spec } } } }
    expect(problemsOf(importText(JSON.stringify(dynamic))).join()).toContain('terraform show -json')
  })

  it('keeps the tags of a resource, without those of the provider', () => {
    const mesh = (tags: unknown) => ({
      type: 'aws_appmesh_mesh',
      values: { name: 'm', tags, tags_all: { team: 'orders', all: 'x' } },
    })
    const shown = (tags: unknown) =>
      importText(JSON.stringify({ format_version: '1.0', values: { root_module: { resources: [mesh(tags)] } } }))
    expect(shown({ team: 'orders', none: null }).resources[0]!.tags).toEqual({ team: 'orders' })
    expect(shown(null).resources[0]).not.toHaveProperty('tags')
    const written = { aws_appmesh_mesh: { m: { name: 'm', tags: '${merge(local.tags, {})}' } } }
    const imported = importText(JSON.stringify({ resource: written }))
    expect(asked(imported)).toEqual([])
    expect(imported.warnings).toMatchObject([{ message: 'the tags are not known; they are left out' }])
  })

  it('stops at what only Terraform can work out where it matters, and nowhere else', () => {
    const locals = { name: '%{ if true }a%{ endif }' }
    const task = { family: '${local.name}' }
    const mesh = { name: 'm', lifecycle: { ignore_changes: '${local.name}' } }
    const resource = { aws_ecs_task_definition: { t: task }, aws_appmesh_mesh: { m: mesh } }
    expect(problemsOf(importText(JSON.stringify({ locals, resource })))).toEqual([])
    const named = { ...resource, aws_appmesh_mesh: { m: { name: '${local.name}' } } }
    expect(problemsOf(importText(JSON.stringify({ locals, resource: named })))).toEqual([
      expect.stringMatching(/holds a directive/),
    ])
  })

  it('passes over comments, which every block may hold as a member //', () => {
    const match = { '//': 'all, see ${local.nowhere}', prefix: '/' }
    const action = { weighted_target: [{ '//': 'the only one', virtual_node: 'orders', weight: 1 }] }
    const spec = { '//': { why: 'made by a tool' }, http_route: { match, action } }
    const route = { '//': 'a route', name: 'all', mesh_name: 'shop', virtual_router_name: 'orders', spec }
    const imported = importText(JSON.stringify({ '//': 'c', resource: { aws_appmesh_route: { all: route } } }))
    expect([problemsOf(imported), asked(imported)]).toEqual([[], []])
    const weightedTargets = [{ virtualNode: 'orders', weight: 1 }]
    expect(imported.resources[0]?.spec).toEqual({ httpRoute: { match: { prefix: '/' }, action: { weightedTargets } } })
  })

  it('names types that App Mesh does not have, policies of Weft among them', () => {
    const resource = { aws_appmesh_policy: { p: { name: 'p' } }, aws_appmesh_virtual_nodes: { n: { name: 'n' } } }
    expect(problemsOf(importText(JSON.stringify({ resource })))).toEqual([
      expect.stringMatching(/no aws_appmesh_policy; there are aws_appmesh_mesh, .*aws_appmesh_gateway_route$/),
      expect.stringMatching(/no aws_appmesh_virtual_nodes/),
    ])
  })

  it('reports on task definitions, whose containers are JSON in a text', () => {
    const values = {
      family: 'orders',
      container_definitions: JSON.stringify([
        {
          name: 'proxy',
          image: 'envoy',
          environment: [{ name: 'APPMESH_RESOURCE_ARN', value: 'mesh/m/virtualNode/n' }],
        },
      ]),
      proxy_configuration: [{ type: 'APPMESH', container_name: 'proxy', properties: { AppPorts: '80,81' } }],
    }
    const { taskDefinitions } = importText(JSON.stringify({ resource: { aws_ecs_task_definition: { t: values } } }))
    expect(taskDefinitions).toMatchObject([{ name: 'aws_ecs_task_definition.t' }])
    expect(taskDefinitions[0]!.changes.join('\n')).toMatch(/--mesh m --node n[\s\S]*AppPorts 80,81: several/)
  })
})
