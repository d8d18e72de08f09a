DROP FUNCTION default_organization();
DROP VIEW organization_hierarchy;
DROP TABLE organizations;
DROP FUNCTION organizations_refuse_circle();
DROP FUNCTION touch_updated_at();
