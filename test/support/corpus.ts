/** What the files of test/corpus/app-mesh leave open. */
export const PARAMETERS = new Map([
  ['ProjectName', 'shop'],
  ['PublicLoadBalancer.DNSName', 'front.example.com'],
  ['meshName', 'shop'],
  ['DNS_HOSTNAME', 'gateway.example.com'],
  ['COLOR_TELLER_VS', 'colorteller.example.com'],
  ['VIRTUALSERVICE_NAME', 'colorgateway.example.com'],
  ['howto-timeout-policy__mesh__colorgateway-vn-timeout20s.json:virtualNodeName', 'colorgateway'],
  ['howto-timeout-policy__mesh__publicgateway-vg.json:virtualGatewayName', 'public'],
  ['howto-timeout-policy__mesh__publicgateway-route.json:virtualGatewayName', 'public'],
  ['howto-timeout-policy__mesh__publicgateway-route.json:gatewayRouteName', 'all'],
])
