/**
 * A whole nginx configuration around the given `http` content. One process (no master): its CPU is one pid's, and
 * nothing survives it. Connections never end by a count of requests, as with every other subject.
 */
export function nginxConfig(http: string): string {
  return `daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 75s;
  tcp_nodelay on;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  ${http}
}
`
}
